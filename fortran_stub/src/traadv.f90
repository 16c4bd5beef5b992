!> Tracer of layer 1: advection (UBS), diffusion, restoring. The right-hand side is that of the content h T [degC m s-1].
module traadv
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, Nis0, Nie0, Njs0, Nje0, jp_tem
   use dom_oce, only: umask, vmask, r1_e1e2t, e2u, e1v, r1_e1u, r1_e2v
   use oce, only: ts, e3t, e3u, e3v, uflx, vflx
   use sbcmod, only: tstar, r1_trelax
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: tra_init, tra_adv, tra_ldf, tra_sbc

   logical, public :: ln_tra = .true.   !< carry the tracer
   real(wp) :: rn_aht = 400._wp         ! diffusivity [m2 s-1]

   real(wp), allocatable, dimension(:, :) :: zcx, zcy   ! curvature along i and j [degC]
   real(wp), allocatable, dimension(:, :) :: zfx, zfy   ! fluxes [degC m3 s-1]
   real(wp), allocatable, dimension(:, :) :: zax, zay   ! diffusivity times face width over distance, 0 on walls [m2 s-1]

contains

   !> Read &namtra.
   subroutine tra_init()
      namelist /namtra/ ln_tra, rn_aht
      integer :: ios
      do while (nam_next('namtra'))
         read (cnam, namtra, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (.not. rn_aht >= 0._wp) call ctl_stop('the diffusivity must not be negative.', nam_where('namtra', 'rn_aht'))
      allocate (zcx(jpi, jpj), zcy(jpi, jpj), zfx(jpi, jpj), zfy(jpi, jpj), zax(jpi, jpj), zay(jpi, jpj))
      zcx = 0._wp; zcy = 0._wp; zfx = 0._wp; zfy = 0._wp
      zax(:, :) = rn_aht*e2u*r1_e1u*umask(:, :, 1)
      zay(:, :) = rn_aht*e1v*r1_e2v*vmask(:, :, 1)
      if (lwp) write (numout, '(a,l1,a,es10.3)') ' tra_init: tracer ', ln_tra, ', diffusivity ', rn_aht
   end subroutine tra_init

   !> Add -div of the upstream-biased flux: U (T(i) + T(i+1))/2 of now, minus U/6 times the upstream curvature of before.
   !! Source: Shchepetkin & McWilliams (2005), third order; the lagged curvature is the dissipative part.
   subroutine tra_adv(Kbb, Kmm, Krhs)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels
      call curvature(ts(:, :, 1, jp_tem, Kbb), umask(:, :, 1), vmask(:, :, 1), zcx, zcy)
      call ubs(ts(:, :, 1, jp_tem, Kmm), uflx(:, :, 1), vflx(:, :, 1), zcx, zcy, zfx, zfy)
      call divergence(zfx, zfy, r1_e1e2t, ts(:, :, 1, jp_tem, Krhs))
   end subroutine tra_adv

   !> Add the divergence of h kappa grad T of before.
   subroutine tra_ldf(Kbb, Krhs)
      integer, intent(in) :: Kbb, Krhs   !< time levels
      call diffusion(ts(:, :, 1, jp_tem, Kbb), e3u(:, :, 1), e3v(:, :, 1), zax, zay, zfx, zfy)
      call divergence(zfx, zfy, r1_e1e2t, ts(:, :, 1, jp_tem, Krhs))
   end subroutine tra_ldf

   !> Add the restoring h (T* - T)/tau of before.
   subroutine tra_sbc(Kbb, Kmm, Krhs)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels
      integer :: ji, jj
      do jj = Njs0, Nje0
         do ji = Nis0, Nie0
            ts(ji, jj, 1, jp_tem, Krhs) = ts(ji, jj, 1, jp_tem, Krhs) &
            &  + e3t(ji, jj, 1, Kmm)*(r1_trelax*(tstar(ji, jj) - ts(ji, jj, 1, jp_tem, Kbb)))
         end do
      end do
   end subroutine tra_sbc

   pure subroutine curvature(pt, pum, pvm, pcx, pcy)
      real(wp), intent(in), dimension(jpi, jpj) :: pt, pum, pvm
      real(wp), intent(inout), dimension(jpi, jpj) :: pcx, pcy
      integer :: ji, jj
      do jj = 2, jpj - 1
         do ji = 2, jpi - 1
            pcx(ji, jj) = (pt(ji + 1, jj) - pt(ji, jj))*pum(ji, jj) - (pt(ji, jj) - pt(ji - 1, jj))*pum(ji - 1, jj)
            pcy(ji, jj) = (pt(ji, jj + 1) - pt(ji, jj))*pvm(ji, jj) - (pt(ji, jj) - pt(ji, jj - 1))*pvm(ji, jj - 1)
         end do
      end do
   end subroutine curvature

   pure subroutine ubs(pt, puf, pvf, pcx, pcy, pfx, pfy)
      real(wp), intent(in), dimension(jpi, jpj) :: pt, puf, pvf, pcx, pcy
      real(wp), intent(inout), dimension(jpi, jpj) :: pfx, pfy
      real(wp), parameter :: r1_12 = 1._wp/12._wp
      integer :: ji, jj
      do jj = Njs0 - 1, Nje0
         do ji = Nis0 - 1, Nie0
            pfx(ji, jj) = 0.5_wp*puf(ji, jj)*(pt(ji, jj) + pt(ji + 1, jj)) &
            &  - r1_12*((puf(ji, jj) + abs(puf(ji, jj)))*pcx(ji, jj) + (puf(ji, jj) - abs(puf(ji, jj)))*pcx(ji + 1, jj))
            pfy(ji, jj) = 0.5_wp*pvf(ji, jj)*(pt(ji, jj) + pt(ji, jj + 1)) &
            &  - r1_12*((pvf(ji, jj) + abs(pvf(ji, jj)))*pcy(ji, jj) + (pvf(ji, jj) - abs(pvf(ji, jj)))*pcy(ji, jj + 1))
         end do
      end do
   end subroutine ubs

   pure subroutine diffusion(pt, pe3u, pe3v, pax, pay, pfx, pfy)
      real(wp), intent(in), dimension(jpi, jpj) :: pt, pe3u, pe3v, pax, pay
      real(wp), intent(inout), dimension(jpi, jpj) :: pfx, pfy
      integer :: ji, jj
      do jj = Njs0 - 1, Nje0
         do ji = Nis0 - 1, Nie0
            pfx(ji, jj) = -pax(ji, jj)*pe3u(ji, jj)*(pt(ji + 1, jj) - pt(ji, jj))
            pfy(ji, jj) = -pay(ji, jj)*pe3v(ji, jj)*(pt(ji, jj + 1) - pt(ji, jj))
         end do
      end do
   end subroutine diffusion

   pure subroutine divergence(pfx, pfy, pr1, prhs)
      real(wp), intent(in), dimension(jpi, jpj) :: pfx, pfy, pr1
      real(wp), intent(inout), dimension(jpi, jpj) :: prhs
      integer :: ji, jj
      do jj = Njs0, Nje0
         do ji = Nis0, Nie0
            prhs(ji, jj) = prhs(ji, jj) - pr1(ji, jj)*((pfx(ji, jj) - pfx(ji - 1, jj)) + (pfy(ji, jj) - pfy(ji, jj - 1)))
         end do
      end do
   end subroutine divergence
end module traadv
