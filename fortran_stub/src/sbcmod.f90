!> Forcing: wind stress, surface restoring of the tracer, and linear drag; annual cycle of wind and restoring.
module sbcmod
   use par_kind, only: wp, dp
   use par_oce, only: jpi, jpj, jpk, jpmaxlay, Nis0, Nie0
   use dom_oce, only: gphit
   use usrdef, only: rn_dx, rly
   use oce, only: uu, vv, e3t
   use daymod, only: ryear_frac
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lc, lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: sbc_init, sbc, dyn_sbc, dyn_drg

   character(len=lc) :: cn_wind = 'gyre'       ! profile: gyre, channel or none
   real(wp) :: rn_tau0 = 0.1_wp                ! wind stress [N m-2]
   real(wp) :: rn_tauas = 0._wp                ! its asymmetric part, relative
   real(wp), public :: rn_rho0 = 1026._wp      !< density [kg m-3]
   real(wp) :: rn_season = 0._wp               ! annual cycle, relative amplitude
   real(wp) :: rn_tstar_s = 25._wp             ! restoring temperature at the southern wall [degC]
   real(wp) :: rn_tstar_n = 5._wp              ! and at the northern wall
   real(wp) :: rn_trelax = 8640000._wp         ! restoring time [s]
   real(wp) :: rn_drg(jpmaxlay) = 0._wp        ! drag of each layer [s-1]

   real(wp), public :: r1_trelax = 0._wp                   !< restoring rate [s-1]; 0 without restoring
   real(wp), public, allocatable :: utau(:, :)             !< wind stress along i at U points [N m-2]
   real(wp), public, allocatable :: tstar(:, :)            !< restoring temperature [degC]
   real(wp), allocatable :: utau0(:, :), tstar0(:, :)      ! the same without annual cycle

   real(wp), parameter :: rpi = 3.14159265358979323846_wp

contains

   !> Read &namsbc and &namdrg; set the profiles.
   subroutine sbc_init()
      namelist /namsbc/ cn_wind, rn_tau0, rn_tauas, rn_rho0, rn_season, rn_tstar_s, rn_tstar_n, rn_trelax
      namelist /namdrg/ rn_drg
      integer :: ios, ji, jj
      real(wp) :: zy

      rn_drg(1:2) = [2.e-8_wp, 2.e-7_wp]
      do while (nam_next('namsbc'))
         read (cnam, namsbc, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      do while (nam_next('namdrg'))
         read (cnam, namdrg, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (all(cn_wind /= [character(len=7) :: 'gyre', 'channel', 'none'])) &
      &  call ctl_stop("there is no wind '"//trim(cn_wind)//"'.", &
      &  nam_where('namsbc', 'cn_wind'), 'Allowed: gyre, channel, none.')
      if (.not. rn_rho0 > 0._wp) call ctl_stop('the density must be positive.', nam_where('namsbc', 'rn_rho0'))
      if (.not. minval(rn_drg) >= 0._wp) call ctl_stop('the drag must not be negative.', nam_where('namdrg', 'rn_drg'))
      if (rn_trelax > 0._wp) r1_trelax = 1._wp/rn_trelax

      allocate (utau0(jpi, jpj), tstar0(jpi, jpj))
      do jj = 1, jpj
         do ji = 1, jpi
            zy = gphit(ji, jj)/(1.e-3_wp*rn_dx*rly)   ! 0 at the southern wall, 1 at the northern one or at the fold
            select case (cn_wind)
            case ('gyre')
               utau0(ji, jj) = -rn_tau0*(cos(2._wp*rpi*zy) + rn_tauas*sin(rpi*(zy - 0.5_wp)))
            case ('channel')
               utau0(ji, jj) = rn_tau0*sin(rpi*zy)
            case default
               utau0(ji, jj) = 0._wp
            end select
            tstar0(ji, jj) = rn_tstar_s + (rn_tstar_n - rn_tstar_s)*zy
         end do
      end do
      allocate (utau, source=utau0)
      allocate (tstar, source=tstar0)
      if (lwp) write (numout, '(3a,f0.4,a,f0.3)') ' sbc_init: wind ', trim(cn_wind), ', tau0 = ', rn_tau0, &
      &  ' N m-2, rn_season = ', rn_season
   end subroutine sbc_init

   !> Forcing of the now time of step kt. Annual cycle c = cos(2 pi year), largest on 1 January:
   !! wind times (1 + a c), T* minus a/2 times its range times c.
   subroutine sbc(kt)
      integer, intent(in) :: kt   !< step
      real(wp) :: zcos
      if (abs(rn_season) > 0._wp) then
         zcos = real(cos(2._dp*real(rpi, dp)*ryear_frac(kt - 1)), wp)
         utau(:, :) = utau0*(1._wp + rn_season*zcos)
         tstar(:, :) = tstar0 - (0.5_wp*rn_season*abs(rn_tstar_s - rn_tstar_n)*zcos)
      end if
   end subroutine sbc

   !> Add the wind, tau / (rho0 h), to layer 1.
   subroutine dyn_sbc(Kmm, Krhs, kj1, kj2)
      integer, intent(in) :: Kmm, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2    !< rows
      integer :: ji, jj
      real(wp) :: zr1
      zr1 = 1._wp/rn_rho0
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            uu(ji, jj, 1, Krhs) = uu(ji, jj, 1, Krhs) &
            &  + utau(ji, jj)*zr1*(1._wp/(0.5_wp*(e3t(ji, jj, 1, Kmm) + e3t(ji + 1, jj, 1, Kmm))))
         end do
      end do
   end subroutine dyn_sbc

   !> Add the linear drag -r u of the before velocity.
   subroutine dyn_drg(Kbb, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2    !< rows
      integer :: jk
      do jk = 1, jpk
         call drag(kj1, kj2, rn_drg(jk), uu(:, :, jk, Kbb), vv(:, :, jk, Kbb), uu(:, :, jk, Krhs), vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_drg

   pure subroutine drag(kj1, kj2, pr, pu, pv, pru, prv)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in) :: pr
      real(wp), intent(in), dimension(jpi, jpj) :: pu, pv
      real(wp), intent(inout), dimension(jpi, jpj) :: pru, prv
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            pru(ji, jj) = pru(ji, jj) - pr*pu(ji, jj)
            prv(ji, jj) = prv(ji, jj) - pr*pv(ji, jj)
         end do
      end do
   end subroutine drag
end module sbcmod
