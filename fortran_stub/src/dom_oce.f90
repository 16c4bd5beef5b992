!> The domain: place of the subdomain, metrics, masks, Coriolis parameter, time step.
!!
!! T(i,j) is a cell; U(i,j) is its east face, V(i,j) its north face, F(i,j) its north-east corner.
module dom_oce
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, nn_hls
   implicit none
   private
   public :: dom_oce_alloc, mig, mjg

   integer, public :: nimpp = 1, njmpp = 1     !< global index of the first interior cell
   logical, public :: l_Iperio = .false.       !< the global grid is cyclic along i
   logical, public :: l_NFold = .false.        !< and folded in the north, see lbcnfd
   logical, public :: l_IdoNFold = .false.     !< this rank touches the fold
   character(len=1), public :: c_NFtype = '-'  !< pivot of the fold: T or F
   integer, parameter, public :: jpwe = 1, jpea = 2, jpso = 3, jpno = 4
   integer, public :: mpinei(4) = -1           !< ranks to the west, east, south and north; -1 for none

   real(wp), parameter, public :: grav = 9.81_wp   !< gravity [m s-2]

   ! namdom
   real(wp), public :: rn_Dt = 3200._wp        !< time step [s]
   real(wp), public :: rn_atfp = 0.1_wp        !< Asselin coefficient
   logical, public :: ln_1st_euler = .false.   !< start with a forward step
   logical, public :: ln_meshmask = .true.     !< write mesh_mask.nc
   real(wp), public :: rn_hmin = 10._wp        !< thickness at which a layer counts as outcropped [m]

   real(wp), public :: rDt = 0._wp             !< from the before to the after level: 2 rn_Dt, or rn_Dt on a forward step [s]
   logical, public :: l_1st_euler = .false.    !< the present step is a forward step

   real(wp), public, allocatable, dimension(:, :) :: glamt, glamu, glamv, glamf   !< distance from the western wall [km]
   real(wp), public, allocatable, dimension(:, :) :: gphit, gphiu, gphiv, gphif   !< distance from the southern wall [km]
   real(wp), public, allocatable, dimension(:, :) :: e1t, e1u, e1v, e1f, e2t, e2u, e2v, e2f            !< widths [m]
   real(wp), public, allocatable, dimension(:, :) :: r1_e1u, r1_e2u, r1_e1v, r1_e2v                    !< inverses [m-1]
   real(wp), public, allocatable, dimension(:, :) :: r1_e1e2t, r1_e1e2u, r1_e1e2v, r1_e1e2f, e1e2t     !< areas [m-2], [m2]
   real(wp), public, allocatable, dimension(:, :) :: e1_e2t, e2_e1t, e1_e2f, e2_e1f                    !< ratios
   real(wp), public, allocatable, dimension(:, :) :: e1t2, e2t2, e1f2, e2f2                            !< squares [m2]
   real(wp), public, allocatable, dimension(:, :) :: ff_t, ff_f                                        !< Coriolis [s-1]
   real(wp), public, allocatable, dimension(:, :, :) :: tmask, umask, vmask   !< 1 wet, 0 land
   real(wp), public, allocatable, dimension(:, :, :) :: fmask                 !< 1 wet; 0 land; rn_shlat on the coast
   real(wp), public, allocatable, dimension(:, :, :) :: r1_nf                 !< 1 / number of wet cells round a corner
   real(wp), public, allocatable, dimension(:, :, :) :: rland                 !< 1 where a corner has no wet cell
   real(wp), public, allocatable :: e3t_0(:)                                  !< resting thickness [m]
   real(wp), public, allocatable :: gred(:)                                   !< reduced gravity below each layer [m s-2]

contains

   !> Column of the global grid, from 1, that local column ki is; outside 1..Ni0glo for halos beyond the grid.
   elemental integer function mig(ki)
      integer, intent(in) :: ki   !< local column, halo included
      mig = ki - nn_hls + nimpp - 1
   end function mig

   !> Row of the global grid, from 1, that local row kj is.
   elemental integer function mjg(kj)
      integer, intent(in) :: kj   !< local row, halo included
      mjg = kj - nn_hls + njmpp - 1
   end function mjg

   !> Allocate the domain of this rank.
   subroutine dom_oce_alloc()
      allocate (glamt(jpi, jpj), glamu(jpi, jpj), glamv(jpi, jpj), glamf(jpi, jpj))
      allocate (gphit(jpi, jpj), gphiu(jpi, jpj), gphiv(jpi, jpj), gphif(jpi, jpj))
      allocate (e1t(jpi, jpj), e1u(jpi, jpj), e1v(jpi, jpj), e1f(jpi, jpj))
      allocate (e2t(jpi, jpj), e2u(jpi, jpj), e2v(jpi, jpj), e2f(jpi, jpj))
      allocate (r1_e1u(jpi, jpj), r1_e2u(jpi, jpj), r1_e1v(jpi, jpj), r1_e2v(jpi, jpj))
      allocate (r1_e1e2t(jpi, jpj), r1_e1e2u(jpi, jpj), r1_e1e2v(jpi, jpj), r1_e1e2f(jpi, jpj), e1e2t(jpi, jpj))
      allocate (e1_e2t(jpi, jpj), e2_e1t(jpi, jpj), e1_e2f(jpi, jpj), e2_e1f(jpi, jpj))
      allocate (e1t2(jpi, jpj), e2t2(jpi, jpj), e1f2(jpi, jpj), e2f2(jpi, jpj))
      allocate (ff_t(jpi, jpj), ff_f(jpi, jpj))
      allocate (tmask(jpi, jpj, jpk), umask(jpi, jpj, jpk), vmask(jpi, jpj, jpk), fmask(jpi, jpj, jpk))
      allocate (r1_nf(jpi, jpj, jpk), rland(jpi, jpj, jpk))
   end subroutine dom_oce_alloc
end module dom_oce
